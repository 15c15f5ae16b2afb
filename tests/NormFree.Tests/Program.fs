module NormFree.Tests.Program

open Expecto
open Expecto.Impl
open NormFree.Torch.Native
open NormFree.Tests

let private all =
    [ testList "Golden" [ Golden.LayerTests.tests; Golden.ModelTests.tests; Golden.TrainingTests.tests ]
      testList "Spec" [ Spec.CountTests.tests; Spec.ValidationTests.tests ] ]

/// Expecto's own printer, which also hands over the counts.
let private counting (keep: TestRunSummary -> unit) =
    { TestPrinters.defaultPrinter with
        summary =
            fun config summary ->
                keep summary
                TestPrinters.defaultPrinter.summary config summary }

let private printSkipped (summary: TestRunSummary) =
    for test, result in summary.ignored do
        match result.result with
        | TestResult.Ignored reason -> printfn $"skipped: {test.fullName}: {reason}"
        | _ -> ()

[<EntryPoint>]
let main arguments =
    TorchNative.Ensure()
    let summary = ref None
    let printer = counting (fun counts -> summary.Value <- Some counts)
    let code = runTestsWithCLIArgs [ Printer printer ] arguments (testList "NormFree" all)

    match summary.Value with
    | Some summary ->
        printSkipped summary
        let failed = summary.failed.Length + summary.errored.Length
        printfn $"{summary.passed.Length} passed, {failed} failed, {summary.ignored.Length} skipped"
    | None -> ()

    code
