"""Whether a device's memory did not suffice: PyTorch says so in one way, NVIDIA's libraries in another."""

import torch

LIBRARIES = (
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "HOST_ALLOCATION_FAILED",  # cuDNN 9's, after CUDNN_STATUS_INTERNAL_ERROR_
    "DEVICE_ALLOCATION_FAILED",
    "CUDA error: out of memory",  # of pinned memory, modules that are loaded late, and graphs
    "CUDA driver error: out of memory",
)


def exhausted(error: BaseException) -> bool:
    """Whether that is what an error says."""
    if isinstance(error, torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(status in str(error) for status in LIBRARIES)
