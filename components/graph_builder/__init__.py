"""The user-item graph of each fit period as a GraphTensor."""
