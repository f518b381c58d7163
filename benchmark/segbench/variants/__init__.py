"""Models made of other models: trained checkpoints, pruned, distilled and ensembled variants, and the walk of an ablation."""
