/// Runs the tests of kernels, packed files and packed networks on this processor.
module NormFree.PortableTests.Program

open System
open System.Runtime.InteropServices
open Expecto
open NormFree.Kernels.Simd
open NormFree.Tests.Inference
open NormFree.Tests.Kernels

let private all =
    testList
        "NormFree"
        [ testList
              "Kernels"
              [ InstructionSetTests.tests
                PackingTests.tests
                XnorTests.tests
                PackedFiltersTests.tests
                EpilogueTests.tests
                FilterTests.tests
                OptimiserKernelTests.tests
                LookupTests.tests
                InputGradientTests.tests
                ActivationTests.tests
                RealTests.tests ]
          testList
              "Inference"
              [ PackedFileTests.tests
                PackedDamageTests.tests
                PackedDamageVersion2Tests.tests
                PackedNetworkTests.tests
                PackedLimitTests.tests
                PackedConcurrencyTests.tests
                ImageInputTests.tests ] ]

/// Whether the tests of the instructions that every processor of this architecture has can run. Only tests of other instructions may be skipped.
let private isComplete =
    match RuntimeInformation.ProcessArchitecture with
    | Architecture.Arm64 -> InstructionSets.IsSupported InstructionSet.AdvSimd
    | _ -> true

[<EntryPoint>]
let main arguments =
    let sets = InstructionSets.Supported |> Seq.map string |> String.concat ", "
    Console.WriteLine $"{RuntimeInformation.ProcessArchitecture}: {sets}"

    if isComplete then
        runTestsWithCLIArgs [] arguments all
    else
        Console.Error.WriteLine
            "The kernels for AdvSimd are not tested: this processor or emulator does not support it."

        1
