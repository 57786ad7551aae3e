"""Pretraining without labels: most of the left image is masked, and rebuilt from what is left of it and the right image.

After Weinzaepfel et al., "CroCo: self-supervised pre-training for 3D vision tasks by cross-view completion", NeurIPS 2022.
What cannot be told from the left image must be found in the right one, so the network learns to find it: correspondence.
"""
