module NormFree.Tests.Program

open Expecto

let private all: Test list = []

[<EntryPoint>]
let main arguments = runTestsWithCLIArgs [] arguments (testList "NormFree" all)
