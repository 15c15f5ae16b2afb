namespace NormFree.Reporting

open NormFree.Spec

/// <summary>Measured latency of one image: packed engine against libtorch in float32.</summary>
type Speed =
    {
        /// Median milliseconds per image.
        PackedMs: float
        FloatMs: float
        Threads: int
        /// The number of runs that the medians summarise.
        PackedRuns: int
        FloatRuns: int
        /// The processor, its number of processors and its load.
        Machine: string
    }

/// <summary>A trained network's size, operations and latency in deployment.</summary>
type Deployment =
    {
        Summary: Summary
        /// Side of its input images.
        Pixels: int
        /// Size of the packed file in bytes.
        PackedBytes: int64
        Speed: Speed option
    }
