namespace NormFree.Training

/// <summary>What runs a packed network on one image: the engine, or another implementation of the format.</summary>
/// <remarks>Maps are height×width×channels values, channels last.</remarks>
type PackedRunner =
    {
        /// A layer's result for a map of height×width pixels, and the signs of a binary layer's input: pixels × ⌈In/64⌉ words. Other layers have none.
        RunLayer: int -> float32[] -> int -> int -> float32[] * uint64[]
        /// Logits of an image of 3×height×width values.
        Run: float32[] -> int -> int -> float32[]
    }
