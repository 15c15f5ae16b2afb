namespace NormFree.Benchmarks

open System.Text.Json.Serialization
open System.Threading
open NormFree.Kernels.Convolutions
open NormFree.Networks
open NormFree.Runs
open NormFree.Training

/// <summary>A layer whose binary convolution is measured.</summary>
type KernelLayer =
    {
        /// The network that it is of, and its images.
        Network: string
        /// For example <c>3×3/2 64→128 @ 32²</c>: kernel, stride where it is not 1, channels, and side of the input.
        Name: string
        [<JsonIgnore>]
        Shape: ConvolutionShape
    }

/// <summary>Binary convolutions to measure, on one thread.</summary>
type KernelJob =
    {
        Layers: KernelLayer list
        /// Of each layer with each instruction set, at least.
        Seconds: float
        /// Called after every layer, with the number of layers so far.
        Progress: int -> unit
        Cancellation: CancellationToken
    }

/// <summary>What a core gives at best with an instruction set.</summary>
type KernelRoofline =
    {
        InstructionSet: string
        /// What a step of the loop does that was measured.
        Operations: string
        /// Multiply-accumulates of signs by such steps in registers, in units of 10⁹ a second.
        GmacsPerSecond: float
        /// Reading from the first-level cache, in units of 10⁹ bytes a second.
        L1GbPerSecond: float
        L2GbPerSecond: float
        MemoryGbPerSecond: float
    }

/// <summary>The speed of a layer with an instruction set.</summary>
type KernelSpeed =
    {
        InstructionSet: string
        /// Taps on padding included, in units of 10⁹ a second.
        GmacsPerSecond: Spread
        /// What the roofline allows: the operations' speed, or that of the memory which holds map and filters.
        RoofGmacsPerSecond: float
        /// The median's.
        ShareOfRoofline: float
    }

/// <summary>All speeds of a layer.</summary>
type KernelResult =
    {
        Network: string
        Layer: string
        /// Multiply-accumulates of an image, taps on padding included.
        Macs: int64
        /// Slowest instruction set first.
        Speeds: KernelSpeed list
    }

/// <summary>The speed of binary convolutions; as JSON it is what <c>normfree bench kernels --json</c> prints.</summary>
type KernelResults =
    {
        Threads: int
        /// Slowest instruction set first.
        Rooflines: KernelRoofline list
        Layers: KernelResult list
        Environment: BenchEnvironment
    }
