"""Making the networks: synthetic scenes, datasets, losses, the trainer, teachers and distillation. Needs [train]."""
