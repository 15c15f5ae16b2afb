/// Comparisons of programs: the process runner, ratios, and pages, with shell scripts in place of the tool.
module NormFree.Tests.Benchmarks.ComparisonTests

open System
open System.IO
open Expecto
open NormFree.Benchmarks
open NormFree.Runs
open NormFree.Tests
open NormFree.Tests.Data.Support

let private shell text = ExternalProgram.output "sh" [ "-c"; text ]

let private page name = File.ReadAllText(Path.Combine(repository, "experiments", "results", name))

type private Pair = { FirstValue: int; SecondValue: string }

let private programs =
    [ test "a program's output is returned" { Expect.equal (shell "echo one; echo two >&2") "one\n" "output" }

      test "more output and errors than a pipe holds" {
          let text = shell "head -c 300000 /dev/zero | tr '\\0' x >&2; head -c 300000 /dev/zero | tr '\\0' y"
          Expect.equal text.Length 300000 "characters"
      }

      test "a failure names the program, its exit code and its errors" {
          let text = messageOf<TrainingException, _>(fun () -> shell "echo no luck >&2; exit 3")
          contains [ "sh -c"; "exit code 3"; "no luck" ] text
      }

      test "a missing program is named" {
          let text = messageOf<TrainingException, _>(fun () -> ExternalProgram.output "no-such-program" [ "x" ])
          contains [ "no-such-program"; "was not found" ] text
      }

      test "JSON output is parsed, and anything else is shown" {
          let json text : Pair = ExternalProgram.json "sh" [ "-c"; $"echo '{text}'" ]
          Expect.equal (json """{"first_value":1,"second_value":"x"}""") { FirstValue = 1; SecondValue = "x" } "value"
          contains [ "unexpected JSON"; "oops" ] (messageOf<TrainingException, _>(fun () -> json "oops"))
      }

      test "environment variables reach the program" {
          let json: Pair =
              ExternalProgram.jsonIn
                  [ "NORMFREE_TEST_VALUE", "seen" ]
                  "sh"
                  [ "-c"; "printf '{\"first_value\":1,\"second_value\":\"%s\"}' $NORMFREE_TEST_VALUE" ]

          Expect.equal json.SecondValue "seen" "value"
      }

      test "success is the exit code 0 of a program that exists" {
          Expect.isTrue (ExternalProgram.succeeds "sh" [ "-c"; "exit 0" ]) "0"
          Expect.isFalse (ExternalProgram.succeeds "sh" [ "-c"; "exit 1" ]) "1"
          Expect.isFalse (ExternalProgram.succeeds "no-such-program" []) "missing"
      }

      test "the first Python with PyTorch is chosen" {
          use folder = new TempFolder()

          let python name code =
              let path = folder.File name
              File.WriteAllText(path, $"#!/bin/sh\nexit {code}\n")
              File.SetUnixFileMode(path, UnixFileMode.UserRead ||| UnixFileMode.UserExecute)
              path

          let without, first, second = python "a" 1, python "b" 0, python "c" 0
          Expect.equal (ExternalProgram.pythonWithTorch [ "missing"; without; first; second ]) (Some first) "first"
          Expect.isNone (ExternalProgram.pythonWithTorch [ "missing"; without ]) "none"
      } ]

let private plan =
    { Tool = "tool"; Reference = None; Instructions = []; Runs = 3; Only = ""; Command = "command" }

let private comparisons =
    [ test "a reference that is not named or does not exist is a reason" {
          Expect.equal (ToolComparison.reference plan) (Error "no script was given with --reference") "not named"

          Expect.equal
              (ToolComparison.reference { plan with Reference = Some "/no/such/bench.py" })
              (Error "the script bench.py was not found")
              "missing"
      }

      test "candidates alternate, and one that does not support a configuration is left out" {
          let calls = ResizeArray<string>()

          let candidate name result =
              name,
              fun () ->
                  calls.Add name
                  result

          let progress = ResizeArray<int * string>()

          let measured =
              [ candidate "a" (Some 1.0); candidate "b" None; candidate "c" (Some 2.0) ]
              |> ToolComparison.alternate 2 (fun run name _ -> progress.Add(run, name))

          Expect.equal measured [ "a", [ 1.0; 1.0 ]; "c", [ 2.0; 2.0 ] ] "measured"
          Expect.equal (List.ofSeq calls) [ "a"; "b"; "c"; "a"; "b"; "c" ] "order"
          Expect.equal (List.ofSeq progress) [ 1, "a"; 1, "c"; 2, "a"; 2, "c" ] "progress"
      }

      test "ratios are taken within each run" {
          Expect.equal (ToolComparison.ratios id [ 2.0; 9.0 ] [ 1.0; 3.0 ]) [ 2.0; 3.0 ] "ratios"
      }

      test "a spread is written as median and range" {
          Expect.equal ((Spread.Of [ 3.0; 1.0; 2.26 ]).Text 1) "2.3 (1.0–3.0)" "text"
      }

      test "titles are distinct" {
          for titles in [ TrainingComparison.titles; InferenceComparison.titles; ThreadComparison.titles ] do
              Expect.isNonEmpty titles "titles"
              Expect.equal (List.distinct titles) titles "distinct"
      } ]

let private scaling =
    [ test "the phases of the training page are read" {
          let text =
              "## other\n| fused, float32 | 1 |\n## mine\n| composite, float32 | x |\n| fused, float32 | 5 | 1 | 1 | 9 | 1 | 0.2 | 73.1 | 259.1 | 3.0 | 6.4 |\n"

          let forward, backward, update = ScalingPrediction.phases text "mine"
          Expect.floatClose Accuracy.high forward 73.3 "data and forward"
          Expect.floatClose Accuracy.high backward 259.1 "backward"
          Expect.floatClose Accuracy.high update 9.4 "clip and step"
      }

      for heading in [ "other"; "missing" ] do
          test $"phases that are not on the page are an error: {heading}" {
              let read () = ScalingPrediction.phases "## other\n| fused, float32 | 1 |\n" heading
              contains [ $"'{heading}'" ] (messageOf<TrainingException, _>(read))
          }

      test "the page of predictions follows from the page of training steps" {
          let command = "dotnet run --project tests/NormFree.Microbenchmarks -c Release -- predict-scaling"

          Expect.equal (ScalingPrediction.page command (page "bench-train.md")) (page "scale.md") "page"
      } ]

let tests =
    testList
        "comparisons"
        [ testList "programs" programs; testList "candidates" comparisons; testList "scaling" scaling ]
