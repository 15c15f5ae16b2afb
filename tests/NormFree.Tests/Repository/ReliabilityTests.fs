/// The table of guarantees in docs/reliability.md names tests that exist.
module NormFree.Tests.Repository.ReliabilityTests

open System
open System.IO
open System.Text.RegularExpressions
open Expecto

/// All tests, quick and soak ones. The program sets it: the list contains this test.
let mutable all: unit -> Test = fun () -> failwith "The program sets all tests."

let private page =
    lazy (File.ReadAllLines(Path.Combine(__SOURCE_DIRECTORY__, "..", "..", "..", "docs", "reliability.md")))

/// The cells 'guarantee' and 'tested by' of each row of the table.
let private rows () =
    page.Value
    |> Array.map (fun line -> line.Split('|', StringSplitOptions.TrimEntries))
    |> Array.filter (fun cells -> cells.Length = 5 && Regex.IsMatch(cells[2], "^(quick|soak|no test)\\b"))
    |> Array.map (fun cells -> cells[1], cells[2])

/// The tests that a cell names: lists in backticks, of which `.x` is in the same list as the name before it, and tests in quotes.
let private named (cell: string) =
    let folder (previous: string, names) (found: Match) =
        let name = found.Groups[1].Value + found.Groups[2].Value

        if name.StartsWith '.' then
            let whole = (previous.Split '.')[0] + name
            whole, whole :: names
        elif found.Groups[1].Success then
            name, name :: names
        else
            previous, name :: names

    Regex.Matches(cell, "`([^`]*)`|\"([^\"]*)\"") |> Seq.fold folder ("", []) |> snd

let tests =
    testList
        "reliability"
        [ test "every guarantee of docs/reliability.md names tests that exist" {
              let paths =
                  Test.toTestCodeList (all ()) |> List.map (fun found -> $""".{String.Join('.', found.name)}.""")

              let exists (name: string) =
                  paths |> List.exists (fun path -> path.Contains(name, StringComparison.OrdinalIgnoreCase))

              Expect.isGreaterThan (rows ()).Length 30 "guarantees"

              for guarantee, cell in rows () do
                  if not (cell.StartsWith "no test") then
                      let names = named cell
                      Expect.isNonEmpty names guarantee

                      for name in names do
                          Expect.isTrue (exists name) $"'{name}' tests: {guarantee}"
          } ]
