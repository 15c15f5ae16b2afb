/// The Parquet files of telemetry: round trips, and rejection of damaged files.
module NormFree.Tests.Telemetry.FileTests

open System
open System.IO
open Expecto
open NormFree.Runs
open NormFree.Networks
open NormFree.Training
open NormFree.Tests
open NormFree.Tests.Data.Support
open NormFree.Tests.Formats
open NormFree.Tests.Training.Support

/// The columns that versions without shortcut means wrote.
type EarlierSample =
    { Stage: string
      Epoch: int
      Step: int
      Layer: string
      MeanSquared: float
      Variance: float
      ExpectedVariance: float
      Window: float
      Positive: float
      PositiveLowest: float
      PositiveHighest: float
      DeadChannels: int
      Channels: int
      ActivationFlips: float
      WeightFlips: float
      Clipped: float
      NormRatio: float
      GradientNorm: float }

/// Rows with all kinds of numbers. They are compared as text, because NaN is not equal to itself.
let private row i : LayerSample =
    let value n = [| 0.0; 1.5e-300; -1e30; nan; infinity; 1.0 / 3.0; 0.1 |][(i + n) % 7]

    { Stage = "activations"
      Epoch = 1 + i / 4
      Step = Int32.MaxValue - i
      Layer = $"layer{i % 3}.0 – „Straße“"
      MeanSquared = value 0
      Variance = value 1
      ExpectedVariance = value 2
      Window = value 3
      Positive = value 4
      PositiveLowest = value 5
      PositiveHighest = value 6
      DeadChannels = i
      Channels = 64
      ActivationFlips = value 1
      WeightFlips = value 2
      Clipped = value 3
      NormRatio = value 4
      GradientNorm = value 5
      ShortcutMeanSquared = value 6 }

let private channel i : ChannelSample =
    { Stage = "activations+weights"
      Epoch = 3
      Layer = "layer1.0"
      Channel = i
      Positive = float i / 64.0 }

let private texts rows = rows |> List.map Json.write

let private written =
    [ for count in [ 0; 1; 2; 100; 5000 ] do
          test $"{count} rows survive a round trip" {
              use folder = new TempFolder()
              let rows, path = List.init count row, folder.File "rows.parquet"
              ColumnFile.write path rows
              Expect.equal (texts (ColumnFile.read<LayerSample> path)) (texts rows) "rows"
          }

      test "the documentation names all columns" {
          let names =
              [ for record in [ typeof<LayerSample>; typeof<TransitionSample> ] do
                    for p in FSharp.Reflection.FSharpType.GetRecordFields record -> ColumnFile.nameOf p ]

          let page = File.ReadAllText(Path.Combine(repository, "docs", "telemetry.md"))

          for name in names do
              Expect.stringContains page $"`{name}`" "a column"
      }

      test "a run without telemetry has none" {
          use folder = new TempFolder()

          Expect.equal
              (Telemetry.read { Path = folder.File "none" })
              { Layers = []; Channels = []; Transition = [] }
              "nothing"
      }

      test "files of versions without shortcut means are read, with NaN for them" {
          use folder = new TempFolder()
          let path = folder.File "earlier.parquet"
          let now = [ row 1; row 3 ]

          let earlier =
              [ for r in now ->
                    { EarlierSample.Stage = r.Stage
                      Epoch = r.Epoch
                      Step = r.Step
                      Layer = r.Layer
                      MeanSquared = r.MeanSquared
                      Variance = r.Variance
                      ExpectedVariance = r.ExpectedVariance
                      Window = r.Window
                      Positive = r.Positive
                      PositiveLowest = r.PositiveLowest
                      PositiveHighest = r.PositiveHighest
                      DeadChannels = r.DeadChannels
                      Channels = r.Channels
                      ActivationFlips = r.ActivationFlips
                      WeightFlips = r.WeightFlips
                      Clipped = r.Clipped
                      NormRatio = r.NormRatio
                      GradientNorm = r.GradientNorm } ]

          ColumnFile.write path earlier
          let expected = [ for r in now -> { r with ShortcutMeanSquared = nan } ]
          Expect.equal (texts (ColumnFile.read<LayerSample> path)) (texts expected) "rows"
      }

      test "files are read in the order of stages and epochs; other files are ignored" {
          use folder = new TempFolder()
          let run = RunFolder.at folder.Path
          TelemetryFiles.makeFolder run
          let numbers = [ 1, 1; 1, 2; 1, 10; 1, 1000; 2, 1 ]

          for stage, epoch in List.rev numbers do
              ColumnFile.write (TelemetryFiles.layers run stage epoch) [ { row 0 with Epoch = 10000 * stage + epoch } ]
              ColumnFile.write (TelemetryFiles.channels run stage epoch) [ { channel 0 with Epoch = epoch } ]

          File.WriteAllText(Path.Combine(run.Telemetry, "notes.txt"), "mine")
          let found = Telemetry.read run
          Expect.equal [ for row in found.Layers -> row.Epoch ] [ for s, e in numbers -> 10000 * s + e ] "layers"
          Expect.equal [ for row in found.Channels -> row.Epoch ] (List.map snd numbers) "channels"
      } ]

let private damaged =
    [ test "a file with other columns is rejected by name, with a remedy" {
          use folder = new TempFolder()
          let path = folder.File "other.parquet"
          ColumnFile.write path [ channel 1 ]

          contains
              [ "other.parquet"; "its columns are stage, epoch, layer, channel, positive"; "Delete the file" ]
              (refusal (fun () -> ColumnFile.read<LayerSample> path))
      }

      test "a pipe is an error, not a wait" {
          use folder = new TempFolder()
          let path = folder.File "pipe.parquet"
          use made = System.Diagnostics.Process.Start("mkfifo", [ path ])
          made.WaitForExit()
          contains [ "pipe.parquet"; "pipe" ] (refusal (fun () -> ColumnFile.read<LayerSample> path))
      }

      test "damaged files raise one kind of error or are read" {
          use folder = new TempFolder()
          let path = folder.File "rows.parquet"

          let bytes (rows: 'row list) =
              ColumnFile.write path rows
              File.ReadAllBytes path

          let refused =
              Mutation.survive 31 300 [ bytes (List.init 20 row); bytes [ row 1 ] ] (fun bytes ->
                  ColumnFile.ofBytes<LayerSample> "damaged" bytes |> ignore)

          Expect.isGreaterThan refused (Mutation.rounds * 9 / 10) "rejected files"
      } ]

let tests = testList "files" [ testList "written" written; testList "damaged" damaged ]
