"""Networks in torch. Rows are built by name; the weights come from an ONNX file (weights.py)."""
