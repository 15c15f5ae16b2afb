namespace NormFree.Benchmarks

open NormFree.Kernels.Convolutions
open NormFree.Networks
open NormFree.Runs
open NormFree.Training

/// <summary>The layers whose speed tells how fast ReActNets are.</summary>
[<RequireQualifiedAccess>]
module KernelLayers =

    let private layer network side input output kernel stride =
        let pad = kernel / 2
        let step = if stride = 1 then "" else $"/{stride}"

        { Network = network
          Name = $"{kernel}×{kernel}{step} {input}→{output} @ {side}²"
          Shape = ConvolutionShape(1, side, side, input, output, kernel, kernel, stride, stride, pad, pad) }

    let private reactNet18 = layer "ReActNet-18, 32×32"
    let private reactNetA = layer "ReActNet-A, 224×224"

    /// <summary>The layer that the engine's goal is written for, then each shape of the two networks once.</summary>
    let all =
        [ layer "the goal's layer" 14 256 256 3 1
          reactNet18 32 64 64 3 1
          reactNet18 32 64 128 3 2
          reactNet18 16 128 128 3 1
          reactNet18 16 128 256 3 2
          reactNet18 8 256 256 3 1
          reactNet18 8 256 512 3 2
          reactNet18 4 512 512 3 1
          reactNetA 112 32 32 3 1
          reactNetA 112 32 64 1 1
          reactNetA 112 64 64 3 2
          reactNetA 56 64 128 1 1
          reactNetA 56 128 128 3 1
          reactNetA 56 128 128 1 1
          reactNetA 56 128 128 3 2
          reactNetA 28 128 256 1 1
          reactNetA 28 256 256 3 1
          reactNetA 28 256 256 1 1
          reactNetA 28 256 256 3 2
          reactNetA 14 256 512 1 1
          reactNetA 14 512 512 3 1
          reactNetA 14 512 512 1 1
          reactNetA 14 512 512 3 2
          reactNetA 7 512 1024 1 1
          reactNetA 7 1024 1024 3 1
          reactNetA 7 1024 1024 1 1 ]
