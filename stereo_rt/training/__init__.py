"""Making the networks: synthetic scenes, batches of datasets, losses, the trainer, teachers and distillation. Needs [train]."""
