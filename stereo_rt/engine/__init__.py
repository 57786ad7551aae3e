"""Network files: export to ONNX."""
