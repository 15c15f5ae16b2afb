module NormFree.Tests.Program

open Expecto

let private all: Test list =
    [
        Formats.SafetensorsTests.tests
        Formats.PickleTests.tests
        Reporting.VerdictTests.tests
        Reporting.ChartTests.tests
        Reporting.ReportTests.tests
    ]

[<EntryPoint>]
let main arguments = runTestsWithCLIArgs [] arguments (testList "NormFree" all)
