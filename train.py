#!/usr/bin/env python3
"""Trains a dynamic speech encoder and scores it at every depth.

The only training script: what is trained, and from what, stands in the
hparams file; the corpus in recipes/<Corpus>/. `dld train` is the same.

To run this recipe, do the following:
> python train.py hparams/quickstart.yaml
> python train.py hparams/conformer_dld.yaml --data_folder=/LibriSpeech
> python train.py hparams/conformer_dld.yaml --data_folder=/an4 --corpus=AN4
> python train.py --help
"""

import sys

from dld_brain.run.main import main

if __name__ == "__main__":
    # A run reaches what hparams["encoder"] and hparams["recipe"] include as if
    # it stood in the file itself.
    sys.exit(main(sys.argv[1:], program="python train.py"))
