module NormFree.Tests.Program

open Expecto

let private all: Test list = [ Formats.SafetensorsTests.tests; Formats.PickleTests.tests ]

[<EntryPoint>]
let main arguments = runTestsWithCLIArgs [] arguments (testList "NormFree" all)
