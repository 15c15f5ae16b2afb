namespace NormFree.Benchmarks

open System.Text.Json.Serialization
open System.Threading
open NormFree.Kernels.Convolutions
open NormFree.Networks
open NormFree.Runs
open NormFree.Training

/// <summary>A binary convolution to measure.</summary>
type KernelLayer =
    {
        /// The network of the layer and the size of its images.
        Network: string
        /// For example <c>3×3/2 64→128 @ 32²</c>: kernel, stride unless it is 1, channels, and side of the input.
        Name: string
        [<JsonIgnore>]
        Shape: ConvolutionShape
    }

/// <summary>Binary convolutions to measure, on one thread.</summary>
type KernelJob =
    {
        Layers: KernelLayer list
        /// The minimum for each layer and instruction set.
        Seconds: float
        /// Called after every layer, with the number of layers so far.
        Progress: int -> unit
        Cancellation: CancellationToken
    }

/// <summary>The peak performance of one core with an instruction set.</summary>
type KernelRoofline =
    {
        InstructionSet: string
        /// The operations of one step of the measured loop.
        Operations: string
        /// Binary multiply-accumulates in registers, in 10⁹ per second.
        GmacsPerSecond: float
        /// Reading from the L1 cache, in 10⁹ bytes per second.
        L1GbPerSecond: float
        L2GbPerSecond: float
        MemoryGbPerSecond: float
    }

/// <summary>The speed of a layer with an instruction set.</summary>
type KernelSpeed =
    {
        InstructionSet: string
        /// In 10⁹ per second, including taps on padding.
        GmacsPerSecond: Spread
        /// The roofline: limited by arithmetic, or by the memory level that holds the input and filters.
        RoofGmacsPerSecond: float
        /// Of the median speed.
        ShareOfRoofline: float
    }

/// <summary>All speeds of a layer.</summary>
type KernelResult =
    {
        Network: string
        Layer: string
        /// Multiply-accumulates per image, including taps on padding.
        Macs: int64
        /// Slowest instruction set first.
        Speeds: KernelSpeed list
    }

/// <summary>The speed of binary convolutions: the output of <c>normfree bench kernels --json</c>.</summary>
type KernelResults =
    {
        Threads: int
        /// Slowest instruction set first.
        Rooflines: KernelRoofline list
        Layers: KernelResult list
        Environment: BenchEnvironment
    }
