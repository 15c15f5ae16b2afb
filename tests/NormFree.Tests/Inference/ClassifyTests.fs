/// The sample program classify, as the solution's build leaves it (not compiled ahead of time).
module NormFree.Tests.Inference.ClassifyTests

open System.Diagnostics
open System.IO
open Expecto
open NormFree.Inference.Files
open NormFree.Tests
open NormFree.Tests.Data.Support

let private program =
    Path.Combine(repository, "experiments/classify/bin/Release/net10.0/linux-x64/classify")

let private image = Path.Combine(repository, "docs/demo.png")

let private run (arguments: string list) =
    if not (File.Exists program) then
        skiptest "experiments/classify was not built"

    let info =
        ProcessStartInfo(program, arguments, RedirectStandardOutput = true, RedirectStandardError = true)

    use sample = nonNull (Process.Start info)
    let out, err = sample.StandardOutput.ReadToEndAsync(), sample.StandardError.ReadToEndAsync()
    sample.WaitForExit()
    sample.ExitCode, out.Result, err.Result

let tests =
    testList
        "classify"
        [ testCase "prints the most probable classes of an image"
          <| fun () ->
              use folder = new TempFolder()
              let model = Path.Combine(folder.Path, "tiny.safetensors")
              PackedFile.Write(model, Models.tiny)
              let code, out, err = run [ model; image; "--top"; "2"; "--time"; "--threads"; "2" ]
              Expect.equal (code, err) (0, "") "exit code and errors"
              Expect.stringContains out "ms from process start" "the time"
              let classes = out.Split('\n') |> Array.filter _.Contains("%")
              Expect.hasLength classes 2 "classes"

          testCase "reports unreadable files and wrong usage"
          <| fun () ->
              use folder = new TempFolder()
              let model = Path.Combine(folder.Path, "tiny.safetensors")
              PackedFile.Write(model, Models.tiny)

              for arguments, expected, part in
                  [ [ model; model ], 1, "is not an image"
                    [ image; image ], 1, "demo.png"
                    [ model; Path.Combine(folder.Path, "none.png") ], 1, "none.png"
                    [ model ], 2, "classify MODEL"
                    [ model; image; "--top"; "none" ], 2, "classify MODEL"
                    [ model; image; "--threads" ], 2, "classify MODEL" ] do
                  let code, _, err = run arguments
                  Expect.equal code expected $"exit code of {arguments}"
                  Expect.stringContains err part "message" ]
