from sigmax.torch.penalty import SpectralPenalty
