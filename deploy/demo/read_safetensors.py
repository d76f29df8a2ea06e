"""Loads a safetensors file with the format's own reader and prints what is in it as JSON."""
import json
import sys
from safetensors import deserialize

with open(sys.argv[1], "rb") as file:
    tensors = deserialize(file.read())
parameters = 0
for _, tensor in tensors:
    count = 1
    for side in tensor["shape"]:
        count *= side
    parameters += count
print(json.dumps({"tensors": len(tensors), "parameters": parameters, "first": tensors[0][0]}))
