/// Kernels must reject instruction sets that the processor does not support.
module NormFree.Tests.Kernels.InstructionSetTests

open System
open Expecto
open NormFree.Kernels.Activations
open NormFree.Kernels.Bits
open NormFree.Kernels.Convolutions
open NormFree.Kernels.Filters
open NormFree.Kernels.Optimisers
open NormFree.Kernels.Simd

let private kernels: (string * (InstructionSet -> obj)) list =
    [ "ChannelMoments", (fun set -> ChannelMoments.For set)
      "ChannelScale", (fun set -> ChannelScale.For set)
      "FilterGradient", (fun set -> FilterGradient.For set)
      "InputGradient", (fun set -> InputGradient.For set)
      "FilterKernels", (fun set -> FilterKernels.For set)
      "OptimiserKernels", (fun set -> OptimiserKernels.For set)
      "ResidualActivation", (fun set -> ResidualActivation.For set)
      "ScaledAveragePool", (fun set -> ScaledAveragePool.For set)
      "BinaryWeightConvolution", (fun set -> BinaryWeightConvolution.For set)
      "SignBackward", (fun set -> SignBackward.For set)
      "BinaryInputConvolution", (fun set -> BinaryInputConvolution.For set)
      "SignPacking", (fun set -> SignPacking.For set)
      "XnorConvolution", (fun set -> XnorConvolution.For set) ]

let private unsupported =
    Enum.GetValues<InstructionSet>() |> Array.filter (InstructionSets.IsSupported >> not)

let tests =
    testList
        "instruction sets"
        [ for name, make in kernels do
              test $"{name} exists for every supported set and rejects the others" {
                  for set in InstructionSets.Supported do
                      make set |> ignore

                  for set in unsupported do
                      Expect.throwsT<PlatformNotSupportedException> (fun () -> make set |> ignore) $"{set}"
              }
          test "the scalar set is always supported" {
              Expect.contains InstructionSets.Supported InstructionSet.Scalar "sets"
          } ]
