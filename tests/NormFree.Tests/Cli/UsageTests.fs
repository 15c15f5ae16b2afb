module NormFree.Tests.Cli.UsageTests

open Expecto
open NormFree.Tests.Cli

let private help =
    testList
        "help"
        [ for command in
              [ ""
                "train"
                "eval"
                "predict"
                "summary"
                "data"
                "data get"
                "data check"
                "bench"
                "bench train"
                "bench infer"
                "bench kernels"
                "report"
                "import"
                "export"
                "verify" ] do
              test $"of 'normfree {command}' fits a screen of 45 lines and 90 columns" {
                  let shown = Tool.runLine $"{command} --help" |> Tool.succeeds
                  let lines = Tool.lines shown.Out
                  Expect.isLessThanOrEqual lines.Length 45 "lines"

                  for line in lines do
                      Expect.isLessThanOrEqual line.Length 90 $"columns of: {line}"
              }

          test "the version is one line" {
              Expect.stringStarts (Tool.runProcess [ "--version" ] |> Tool.succeeds).Out "normfree " "version"
          } ]

/// A line, and what its complaint must name.
let private bad =
    [ "trian", [ "trian" ]
      "train --nonsense", [ "--nonsense" ]
      "train --epochs abc", [ "--epochs"; "abc" ]
      "train --epochs 1 --epochs 2", [ "--epochs"; "more than once" ]
      "train --epochs 0", [ "epochs"; "at least 1"; "0" ]
      "train --batch 0", [ "batch"; "at least 1" ]
      "train --lr nan", [ "learning rate"; "NaN" ]
      "train --held-out 1.5", [ "hold out"; "1.5" ]
      "train --clip agc:-1", [ "clipping"; "-1" ]
      "train --clip hard", [ "--clip"; "agc, none" ]
      "train --norm bn-free:nan", [ "--norm"; "positive"; "nan" ]
      "train --norm layer", [ "--norm"; "batch-norm, none, bn-free" ]
      "train --shortcut ternary", [ "--shortcut"; "binary, zero-mean, real" ]
      "train --arch resnet-18 --shortcut real", [ "--shortcut"; "full-precision" ]
      "train --schedule step:1e99:2", [ "--schedule"; "1e99" ]
      "train --loss kd", [ "--teacher" ]
      "train --accumulate 0", [ "--accumulate"; "0" ]
      "train --rank-timeout 1", [ "--rank-timeout"; "from 2" ]
      "bench train --predict 1,x", [ "--predict"; "1,x" ]
      "bench train --predict 8 --bandwidth 0", [ "--bandwidth"; "positive" ]
      "train --teacher x", [ "--loss kd" ]
      "train --arch vgg", [ "--arch"; "reactnet-18" ]
      "train --arch resnet-18 --norm none", [ "--norm"; "full-precision" ]
      "train --width nan", [ "--width"; "NaN" ]
      "train --width 1e12", [ "--width" ]
      "train --depth 1e9", [ "--depth" ]
      "train --threads 0", [ "--threads"; "1 to 1024" ]
      "train --keep 0", [ "--keep" ]
      "train --checkpoint-every -1", [ "--checkpoint-every"; "minutes"; "-1" ]
      "train --checkpoint-every nan", [ "--checkpoint-every"; "minutes" ]
      "train --on-nonfinite ignore", [ "--on-nonfinite"; "stop, skip, rollback" ]
      "train --telemetry 0", [ "--telemetry"; "from 1"; "off"; "'0'" ]
      "train --telemetry often", [ "--telemetry"; "often" ]
      "train --workers 0", [ "--workers"; "1 to 1024" ]
      "train --engine fast", [ "--engine"; "fused, composite" ]
      "train --precision float16", [ "--precision"; "float32, bf16" ]
      "train --engine composite --precision bf16", [ "bf16 needs the fused engine"; "precision float32" ]
      "train --device tpu", [ "--device"; "cpu, cuda" ]
      "train --limit 0", [ "--limit" ]
      "train --size 0", [ "--size" ]
      "train --dataset mnist", [ "--dataset"; "fashion-mnist" ]
      "train --dataset drawn --data somewhere", [ "--data"; "drawn" ]
      "eval", [ "--checkpoint" ]
      "eval --checkpoint x --threads 0", [ "--threads" ]
      "eval --checkpoint x --engine fast", [ "--engine" ]
      "predict", [ "--checkpoint" ]
      "predict --checkpoint x", [ "IMAGE"; "--input" ]
      "predict --checkpoint x --packed y a.png", [ "--checkpoint"; "--packed" ]
      "predict --packed x --engine fused a.png", [ "--packed"; "--engine" ]
      "predict --checkpoint x --input a", [ "--output" ]
      "predict --checkpoint x --top 0 a.png", [ "--top" ]
      "predict --checkpoint x --threads 0 a.png", [ "--threads"; "0" ]
      "predict --checkpoint x --engine fast a.png", [ "--engine" ]
      "predict --checkpoint x --precision float64 a.png", [ "--precision" ]
      "predict --checkpoint x --precision half --input a --output b", [ "--precision"; "float64" ]
      "summary --size -5", [ "--size" ]
      "summary --classes 0", [ "--classes" ]
      "summary --checkpoint x --arch reactnet-a", [ "--checkpoint"; "--arch reactnet-a" ]
      "summary --arch resnet-18 --norm none", [ "--norm" ]
      "data get", [ "NAME" ]
      "data get imagenet", [ "imagenet"; "cifar10" ]
      "data get cifar10 --mirror here", [ "--mirror"; "here" ]
      "data check", [ "--dataset" ]
      "bench train --batch 0", [ "--batch"; "0" ]
      "bench train --steps 0", [ "--steps"; "0" ]
      "bench train --warm-up -1", [ "--warm-up"; "-1" ]
      "bench train --image 0", [ "--image" ]
      "bench train --classes 1", [ "--classes" ]
      "bench train --threads 0", [ "--threads" ]
      "bench train --engine composite --precision bf16", [ "bf16 needs the fused engine" ]
      "bench train --arch resnet-18 --norm none", [ "--norm"; "full-precision" ]
      "bench infer --engine fused", [ "--engine"; "packed, torch, onnxruntime, onnxruntime-int8" ]
      "bench infer --batch 0", [ "--batch"; "0" ]
      "bench infer --threads 0", [ "--threads"; "1 to 1024" ]
      "bench infer --runs 0", [ "--runs" ]
      "bench infer --warm-up -1", [ "--warm-up"; "-1" ]
      "bench infer --seconds nan", [ "--seconds"; "NaN" ]
      "bench infer --image 0", [ "--image" ]
      "bench infer --arch resnet-18", [ "--arch"; "resnet-18" ]
      "bench infer --binarise activations", [ "--binarise" ]
      "bench kernels --only 7×7", [ "--only"; "7×7" ]
      "bench kernels --seconds -1", [ "--seconds"; "-1" ]
      "report", [ "missing argument" ]
      "report runs --out page.txt", [ "--out"; ".html" ]
      "import --arch reactnet-18 --out x", [ "--pytorch"; "--safetensors" ]
      "import --pytorch a --safetensors b --arch reactnet-18 --out x", [ "--pytorch"; "--safetensors" ]
      "import --pytorch a --out x", [ "--arch" ]
      "import --pytorch a --arch reactnet-18", [ "--out" ]
      "export --checkpoint x --out y", [ "--format" ]
      "export --checkpoint x --out y --format tflite", [ "--format"; "pytorch, safetensors, onnx, packed" ]
      "export --checkpoint x --out y --format pytorch --dynamic-batch", [ "--dynamic-batch"; "onnx" ]
      "export --checkpoint x --out x --format onnx", [ "--out"; "another file" ]
      "verify --checkpoint x", [ "--packed" ]
      "verify --packed x", [ "--checkpoint" ]
      "verify --checkpoint x --packed y --images 0", [ "--images"; "0" ]
      "verify --checkpoint x --packed y --threads 0", [ "--threads" ]
      "verify --checkpoint x --packed y --dataset mnist", [ "--dataset"; "fashion-mnist" ]
      "verify --checkpoint x --packed y --data z", [ "--data"; "--dataset KIND" ]
      "verify --checkpoint x --packed y --test-limit 5", [ "--test-limit"; "--dataset KIND" ] ]

let private usage =
    testList
        "bad usage ends with 2 and names what to change"
        [ for line, words in bad do
              test $"normfree {line}" {
                  // A run that is refused must not leave its folder either.
                  let folder = Tool.scratch.File "refused"
                  let arguments = line.Split ' ' |> Array.toList
                  let out = if arguments.Head = "train" then [ "--out"; folder ] else []
                  let result = Tool.run (arguments @ out)
                  result |> Tool.fails 2 words
                  Expect.equal result.Out "" "output"
                  Expect.isFalse (System.IO.Directory.Exists folder) "the run's folder"
              }

          test "an empty argument" { Tool.run [ "train"; "--out"; "" ] |> Tool.fails 2 [ "--out"; "empty" ] } ]

let tests = testList "Usage" [ help; usage ]
