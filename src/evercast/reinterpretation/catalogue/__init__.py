"""The catalogue of a user: folders and indexes that were named once, and the preserved analyses in them."""
