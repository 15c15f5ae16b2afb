/// TensorBoard's event files, against its own protocol buffers.
module NormFree.Tests.Formats.EventFileTests

open System
open System.IO
open Expecto
open NormFree.Formats.TensorBoard
open NormFree.Runs
open NormFree.Tests.Data.Support
open NormFree.Tests.Telemetry

/// The values that an action writes.
let private shown (write: EventFile -> unit) =
    use folder = new TempFolder()
    let run = RunFolder.at folder.Path
    write (EventFile(Path.Combine(run.TensorBoard, "stage1")))

    match EventFiles.read run with
    | [ "stage1", values ] -> values
    | other -> failtest $"{other.Length} stages"

let tests =
    testList
        "event files"
        [ test "scalars keep their names, values and steps, however long" {
              let scalars = [ "a", 1.5f, 0L; String('x', 200), -0.25f, 300L; "ä", 1e-30f, 1L <<< 40 ]

              let values =
                  shown (fun file ->
                      for tag, value, step in scalars do
                          file.AddScalar(tag, value, step))

              Expect.equal [ for one in values -> one.Tag, one.Value.SimpleValue, one.Step ] scalars "scalars"
          }

          test "a histogram counts its numbers in thirty parts of the range" {
              let numbers = [| 0.0; 0.01; 0.5; 0.999; 1.0; -2.0; 7.0 |]

              let values = shown (fun file -> file.AddHistogram("h", ReadOnlySpan numbers, -1.0, 2.0, 1000L))

              let one = List.exactlyOne values
              let histogram = nonNull one.Value.Histo
              Expect.equal (one.Tag, one.Step) ("h", 1000L) "tag and step"
              Expect.equal (histogram.Min, histogram.Max, histogram.Num) (-2.0, 7.0, 7.0) "extremes and count"
              Expect.floatClose Accuracy.veryHigh histogram.Sum (Array.sum numbers) "sum"
              Expect.floatClose Accuracy.veryHigh histogram.SumSquares (Array.sumBy (fun x -> x * x) numbers) "squares"
              let limits = List.ofSeq histogram.BucketLimit
              Expect.hasLength limits 30 "limits"

              for i, limit in List.indexed limits do
                  Expect.floatClose Accuracy.veryHigh limit (-1.0 + 0.1 * float (i + 1)) $"limit {i}"

              let counts =
                  [ for i, count in Seq.indexed histogram.Bucket do
                        if count > 0.0 then
                            i, count ]
              // -2 is below the range, 7 above it.
              Expect.equal counts [ 0, 1.0; 10, 2.0; 15, 1.0; 19, 1.0; 20, 1.0; 29, 1.0 ] "counts"
          } ]
