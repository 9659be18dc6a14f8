"""Networks that learn density ratios: their form, loss, training, evaluation, calibration. No input or output.

`architecture`, `folds`, `dataset`, `combination`, `calibration`, `diagnostics` and `numpy_evaluate` need numpy only;
`mlp`, `loss`, `training` and `evaluation` import jax.
"""
