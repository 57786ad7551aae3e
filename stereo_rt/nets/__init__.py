"""Networks in torch: the family of students (student.py), and their weights out of an ONNX file (weights.py)."""
