/// A run.json that is no ordinary file.
module NormFree.Tests.Cli.RunFileTests

open System
open System.IO
open Expecto
open NormFree.Tests.Cli

let tests =
    testList
        "run.json"
        [ test "that is a pipe is an error, not a wait" {
              let folder = Directory.CreateDirectory(Tool.scratch.File "piped").FullName
              use made = Diagnostics.Process.Start("mkfifo", [ Path.Combine(folder, "run.json") ])
              made.WaitForExit()

              Tool.run [ "report"; folder; "--out"; Path.Combine(folder, "page.md"); "--no-speed" ]
              |> Tool.fails 1 [ "run.json"; "pipe" ]
          }

          test "that is an endless device is an error, not all memory" {
              let folder = Directory.CreateDirectory(Tool.scratch.File "endless").FullName
              File.CreateSymbolicLink(Path.Combine(folder, "run.json"), "/dev/zero") |> ignore

              Tool.run [ "report"; folder; "--out"; Path.Combine(folder, "page.md"); "--no-speed" ]
              |> Tool.fails 1 [ "run.json" ]
          } ]
