namespace NormFree.Reporting

open NormFree.Spec

/// <summary>How long one image takes, as measured by the caller: in the packed engine, and in libtorch with float32.</summary>
type Speed =
    {
        /// Median milliseconds of one image.
        PackedMs: float
        FloatMs: float
        Threads: int
        /// Runs that the medians are of.
        PackedRuns: int
        FloatRuns: int
        /// Where it was measured: the processor, its cores and its load.
        Machine: string
    }

/// <summary>What a trained network costs in deployment.</summary>
type Deployment =
    {
        Summary: Summary
        /// Pixels along a side of its images.
        Pixels: int
        /// Size of the packed file.
        PackedBytes: int64
        Speed: Speed option
    }
