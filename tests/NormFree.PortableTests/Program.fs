/// Runs the tests of kernels, packed files and packed networks on this processor.
module NormFree.PortableTests.Program

open System
open System.Runtime.InteropServices
open Expecto
open Expecto.Impl
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

/// Runs the chosen tests, and prints the counts alone on the last line. It is an error if no test runs.
let private run arguments =
    let summary = ref None

    let printer =
        { TestPrinters.defaultPrinter with
            summary =
                fun config results ->
                    summary.Value <- Some results
                    TestPrinters.defaultPrinter.summary config results }

    let code = runTestsWithCLIArgs [ Printer printer ] arguments all

    match summary.Value with
    | Some results ->
        let failed = results.failed.Length + results.errored.Length
        Console.WriteLine $"{results.passed.Length} passed, {failed} failed, {results.ignored.Length} skipped"
        if results.passed.IsEmpty then max code 1 else code
    | None -> code

[<EntryPoint>]
let main arguments =
    let sets = InstructionSets.Supported |> Seq.map string |> String.concat ", "
    Console.WriteLine $"{RuntimeInformation.ProcessArchitecture}: {sets}"

    if isComplete then
        run arguments
    else
        Console.Error.WriteLine
            "The kernels for AdvSimd are not tested: this processor or emulator does not support it."

        1
