"""Programs that are copied into published bundles: each stands alone, without evercast."""
