"""Full-catalogue ranking metrics of the exported model."""
