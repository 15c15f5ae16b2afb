/// Tests that may be skipped: the list in tests/approved-skips.txt. Any other skipped test fails the run.
module NormFree.Tests.Suite.ApprovedSkips

open System
open System.IO
open System.Text.RegularExpressions
open NormFree.Tests

/// One line of the list. Tests and Reason are patterns, in which * stands for any text.
type Approval = { Tests: string; Reason: string; Condition: string }

let path = Path.Combine(repository, "tests", "approved-skips.txt")

let private matches (pattern: string) (text: string) =
    let parts = pattern.Split '*' |> Array.map Regex.Escape
    Regex.IsMatch(text, "^" + String.Join(".*", parts) + "$", RegexOptions.Singleline)

let private parseLine (line: string) =
    match line.Split '|' |> Array.map _.Trim() with
    | [| tests; condition; reason |] -> { Tests = tests; Reason = reason; Condition = condition }
    | _ -> raise (FormatException $"'{line}' is not 'TESTS | CONDITION | REASON'")

/// The approvals of a text; throws FormatException where a line is malformed.
let parse (text: string) =
    [ for line in text.Split('\n', StringSplitOptions.TrimEntries) do
          if line <> "" && not (line.StartsWith '#') then
              parseLine line ]

let read () = parse (File.ReadAllText path)

/// <summary>Whether a skipped test, by its full name and its reason, is approved on this machine.</summary>
let isApproved (holds: string -> bool) (approvals: Approval list) (test: string, reason: string) =
    approvals
    |> List.exists (fun approval ->
        matches approval.Tests test && matches approval.Reason reason && holds approval.Condition)
