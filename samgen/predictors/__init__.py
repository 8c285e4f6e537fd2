"""The models that draw masks from boxes, one module each."""
