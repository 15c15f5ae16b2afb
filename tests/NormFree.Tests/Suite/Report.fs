/// What follows Expecto's own summary: times, skipped tests, and the line that counts.
module NormFree.Tests.Suite.Report

open System
open System.IO
open Expecto
open Expecto.Impl

let private skipped (summary: TestRunSummary) =
    [ for test, result in summary.ignored do
          match result.result with
          | TestResult.Ignored reason -> String.Join('.', test.name), reason
          | _ -> () ]

let private writeSkips (output: TextWriter) (unapproved: (string * string) list) skips =
    for test, reason in skips do
        let mark = if List.contains (test, reason) unapproved then " (not approved)" else ""
        output.WriteLine $"skipped{mark}: {test}: {reason}"

    if not unapproved.IsEmpty then
        output.WriteLine
            $"{unapproved.Length} skipped tests are not approved, so this run fails. Make them run, or add a line \
              'TESTS | CONDITION | REASON' to tests/approved-skips.txt."

/// Writes the times, the skipped tests and, alone on the last line, the counts. Expecto's console adds blanks to lines, the stream does not.
/// The result is false where a skipped test is not approved.
let write isSequential (summary: TestRunSummary) =
    use output = new StreamWriter(Console.OpenStandardOutput())
    let skips = skipped summary
    let approvals = ApprovedSkips.read ()
    let unapproved = skips |> List.filter (ApprovedSkips.isApproved Condition.holds approvals >> not)
    Times.table isSequential |> List.iter output.WriteLine

    output.WriteLine "slowest tests:"
    Times.slowest 30 isSequential |> List.iter output.WriteLine
    writeSkips output unapproved skips
    let failed = summary.failed.Length + summary.errored.Length
    output.WriteLine $"{summary.passed.Length} passed, {failed} failed, {skips.Length} skipped"
    unapproved.IsEmpty
