"""Published likelihoods as preserved analyses: one document that names their files by digest."""
