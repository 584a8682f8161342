"""Takes a model out of here: to stock SpeechBrain, to ONNX."""
