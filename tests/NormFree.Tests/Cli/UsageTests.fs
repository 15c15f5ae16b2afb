module NormFree.Tests.Cli.UsageTests

open System
open Expecto
open NormFree.Cli
open NormFree.Runs
open NormFree.Tests.Cli

/// A command line, and what its error must say.
let private bad =
    [ "trian", [ "trian" ]
      "train --nonsense", [ "--nonsense" ]
      "train --epochs abc", [ "--epochs"; "abc" ]
      "train --epochs 1 --epochs 2", [ "--epochs"; "more than once" ]
      "train --epochs 0", [ "--epochs"; "from 1 to 100000"; "'0'" ]
      "train --batch 0", [ "--batch"; "from 1 to 65536"; "'0'" ]
      "train --lr nan", [ "--lr"; "learning rate"; "'nan'" ]
      "train --held-out 1.5", [ "--held-out"; "below 1"; "1.5" ]
      "train --clip agc:-1", [ "clipping"; "-1" ]
      "train --clip hard", [ "--clip"; "agc, none" ]
      "train --norm bn-free:nan", [ "--norm"; "positive"; "nan" ]
      "train --norm layer", [ "--norm"; "batch-norm, none, bn-free" ]
      "train --shortcut ternary", [ "--shortcut"; "binary, zero-mean, real" ]
      "train --arch resnet-18 --shortcut real", [ "--shortcut"; "full-precision" ]
      "train --arch vgg-small --shortcut real", [ "--shortcut"; "no convolutions" ]
      "network show binary-mlp --shortcut real", [ "--shortcut"; "no convolutions" ]
      "train --arch vgg-small --slopes power-of-two", [ "--slopes"; "no RPReLU" ]
      "train --augment mixup:9", [ "--augment"; "mixup:9" ]
      "train --schedule step:1e99:2", [ "--schedule"; "1e99" ]
      "train --lr 1e6", [ "--lr"; "up to 100" ]
      "train --weight-decay 11", [ "--weight-decay"; "from 0 to 10" ]
      "train --loss kd", [ "--teacher" ]
      "train --accumulate 0", [ "--accumulate"; "0" ]
      "train --rank-timeout 1", [ "--rank-timeout"; "from 2" ]
      "bench train --predict 1,x", [ "--predict"; "1,x" ]
      "bench train --predict 8 --bandwidth 0", [ "--bandwidth"; "positive" ]
      "train --teacher x", [ "--loss kd" ]
      "train --arch vgg", [ "--arch"; "reactnet-18" ]
      "train --arch resnet-18 --norm none", [ "--norm"; "full-precision" ]
      "train --width nan", [ "--width"; "nan" ]
      "train --width 1e12", [ "--width" ]
      "train --depth 1e9", [ "--depth" ]
      "train --threads 0", [ "--threads"; $"1 to {4 * Environment.ProcessorCount}" ]
      "train --keep 0", [ "--keep" ]
      "train --checkpoint-every -1", [ "--checkpoint-every"; "minutes"; "-1" ]
      "train --checkpoint-every nan", [ "--checkpoint-every"; "minutes" ]
      "train --on-nonfinite ignore", [ "--on-nonfinite"; "stop, skip, rollback" ]
      "train --telemetry 0", [ "--telemetry"; "from 1"; "off"; "'0'" ]
      "train --telemetry often", [ "--telemetry"; "often" ]
      "train --workers 0", [ "--workers"; $"1 to {4 * Environment.ProcessorCount}" ]
      "train --engine fast", [ "--engine"; "fused, composite" ]
      "train --precision float16", [ "--precision"; "float32, bf16" ]
      "train --engine composite --precision bf16", [ "bf16 needs the fused engine"; "precision float32" ]
      "train --device tpu", [ "--device"; "cpu, cuda" ]
      "train --limit 0", [ "--limit" ]
      "train --size 0", [ "--size" ]
      "train --dataset mnits", [ "--dataset"; "fashion-mnist" ]
      "train --dataset synthetic --data somewhere", [ "--data"; "synthetic" ]
      "train --dataset synthetic --train-split x", [ "--train-split"; "--dataset folder" ]
      "train --dataset mnist --emnist-split letters --data x", [ "--emnist-split"; "--dataset emnist" ]
      "train --dataset emnist --emnist-split leters --data x", [ "--emnist-split"; "letters" ]
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
      "bench infer --threads 0", [ "--threads"; $"1 to {4 * Environment.ProcessorCount}" ]
      "bench infer --runs 0", [ "--runs" ]
      "bench infer --warm-up -1", [ "--warm-up"; "-1" ]
      "bench infer --seconds nan", [ "--seconds"; "nan" ]
      "bench infer --image 0", [ "--image" ]
      "bench infer --arch resnet-18", [ "--arch"; "resnet-18" ]
      "bench infer --binarise activations", [ "--binarise" ]
      "bench kernels --only 7×7", [ "--only"; "7×7" ]
      "bench kernels --seconds -1", [ "--seconds"; "-1" ]
      "report", [ "RUN"; "--out" ]
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
      "verify --checkpoint x --packed y --dataset mnits", [ "--dataset"; "fashion-mnist" ]
      "verify --checkpoint x --packed y --data z", [ "--data"; "--dataset KIND" ]
      "verify --checkpoint x --packed y --test-limit 5", [ "--test-limit"; "--dataset KIND" ] ]

let private usage =
    testList
        "bad usage ends with 2 and names what to change"
        [ for line, words in bad do
              test $"normfree {line}" {
                  // A rejected run must not create its folder.
                  let folder = Tool.scratch.File "refused"
                  let arguments = line.Split ' ' |> Array.toList
                  let out = if arguments.Head = "train" then [ "--out"; folder ] else []
                  let result = Tool.run (arguments @ out)
                  result |> Tool.fails 2 words
                  Expect.equal result.Out "" "output"
                  Expect.isFalse (System.IO.Directory.Exists folder) "the run's folder"
              }

          test "an empty argument" { Tool.run [ "train"; "--out"; "" ] |> Tool.fails 2 [ "--out"; "empty" ] } ]

/// A line, what its error must say, and what it must not say as well.
let private cascades =
    [ "train --epochs -3", [ "--epochs" ], [ "warm-up" ]
      "train --lr 1e3", [ "--lr"; "up to 100" ], [ "heckpoint" ]
      "train --epcohs 3", [ "--epcohs"; "Did you mean '--epochs'?" ], [ "'3'" ]
      "eval --checkpont x", [ "Did you mean '--checkpoint'?" ], [ "needs" ]
      "train -epochs 3", [ "'-epochs'"; "Did you mean '--epochs'?" ], [ "'3'"; "takes no word" ]
      "predict -checkpoint x a.png", [ "'-checkpoint'"; "Did you mean '--checkpoint'?" ], [ "needs" ]
      "train --epochs --batch 3", [ "--epochs needs a value" ], [ "--batch" ]
      "train --arch xx --dataset folder", [ "--arch" ], [ "--data" ]
      "train --dataset nothing --data /nowhere", [ "--dataset" ], [ "/nowhere"; "synthetic, which" ]
      "train --warm-up 9", [ "warm-up"; "5 epochs" ], [ "Stage2" ] ]

let private suggestions =
    testList
        "suggestions"
        [ for line, words in
              [ "trian", [ "Did you mean 'train'?" ]
                "hlep", [ "Did you mean 'help'?" ]
                "bench tarin", [ "'bench tarin'"; "Did you mean 'bench train'?" ]
                "data chek", [ "Did you mean 'data check'?" ]
                "network xx", [ "'network list', 'network show'" ]
                "network show reactnet18", [ "network show NAME"; "Did you mean 'reactnet-18'?" ]
                "data get cifar-10", [ "Did you mean 'cifar10'?" ]
                "train help", [ "Did you mean '--help'?" ]
                "train --hepl", [ "Did you mean '--help'?" ]
                "train --learning-rate 1", [ "Did you mean '--lr'?" ]
                "train --batch_size 1", [ "Did you mean '--batch'?" ]
                "train --model resnet-18", [ "Did you mean '--arch'?" ]
                "train --stages 1", [ "Did you mean '--binarise'?" ]
                "train --network-file net.json", [ "Did you mean '--network'?" ]
                "train --loss label-smoothing:0.1", [ "Did you mean 'ls'?" ]
                "train --dataset cifr", [ "Did you mean 'cifar10'?" ]
                "summary --arch vgg", [ "Did you mean 'vgg-small'?" ]
                "bench infer --engine onnx", [ "Did you mean 'onnxruntime'?" ]
                "completion fsh", [ "Did you mean 'fish'?" ]
                "train --arch reactnet18", [ "Did you mean 'reactnet-18'?" ]
                "train --norm batchnorm", [ "Did you mean 'batch-norm'?" ]
                "train --dataset cifar-10", [ "Did you mean 'cifar10'?" ]
                "train --optimzer adam", [ "Did you mean '--optimizer'?" ]
                "completion bahs", [ "Did you mean 'bash'?" ]
                "--verson", [ "Did you mean '--version'?" ] ] do
              test $"normfree {line}" { Tool.runLine line |> Tool.fails 2 words }

          for line, words, others in cascades do
              test $"normfree {line} has one problem" {
                  let result = Tool.runLine line
                  result |> Tool.fails 2 words

                  for other in others do
                      Expect.isFalse (result.Err.Contains other) $"'{other}' in: {result.Err}"
              }

          test "two mistakes are two lines" {
              let result = Tool.runLine "train --epochs 0 --batch x --lr 0.1"
              result |> Tool.fails 2 [ "--epochs"; "--batch" ]
          }

          test "the distance counts swapped letters once" {
              for a, b, expected in [ "train", "trian", 1; "", "abc", 3; "kitten", "sitting", 3; "same", "same", 0 ] do
                  Expect.equal (Suggestion.distance a b) expected $"{a}, {b}"
          }

          test "a name that is like no other has no suggestion" {
              Expect.isNone (Suggestion.nearest [ "train"; "eval" ] "xylophone") "suggestion"
          } ]

let private forms =
    testList
        "the parser"
        [ test "takes --name=value, and words after -- as operands" {
              let args = Parser.parse CommandTable.Networks.predict [ "--checkpoint=x"; "--top=5"; "--"; "--odd.png" ]
              Expect.equal (args.TryGet Options.Files.checkpoint) (Some "x") "checkpoint"
              Expect.equal (args.Get Options.Files.top) 5 "top"
              Expect.equal args.Operands [ "--odd.png" ] "operands"
          }

          test "wants values for options and none for flags" {
              Tool.runLine "train --epochs" |> Tool.fails 2 [ "--epochs needs a value"; "N" ]
              Tool.runLine "train --resume=yes" |> Tool.fails 2 [ "--resume takes no value" ]
          }

          test "reads old names with a warning" {
              let result = Tool.runLine "train --print-config --start fixed --dataset drawn"
              Expect.equal result.Code 0 "exit code"
              Expect.stringContains result.Err "--start is now --initialisation" "option"
              Expect.stringContains result.Err "--dataset drawn is now --dataset synthetic" "value"
              Expect.hasLength (Tool.lines result.Err) 2 "a line each"
              Expect.stringContains result.Out "\"Initialisation\": \"fixed\"" "value"
          }

          test "reads British and American spellings alike, without a warning" {
              let printed line =
                  let result = Tool.runLine $"train --print-config {line}"
                  Expect.equal (result.Code, result.Err) (0, "") line
                  result.Out

              for other, name, value in
                  [ "--optimiser", "--optimizer", "adamw"
                    "--normalization", "--normalisation", "cifar100"
                    "--initialization", "--initialisation", "fixed"
                    "--binarize", "--binarise", "activations" ] do
                  Expect.equal (printed $"{other} {value}") (printed $"{name} {value}") other
                  Tool.runLine $"train {other} x" |> Tool.fails 2 [ $"{name} cannot be 'x'" ]

              Tool.runLine "train --optimiser sgd --optimizer adam"
              |> Tool.fails 2 [ "--optimizer is given more than once" ]
          }

          test "warns of more threads than processors" {
              let count = Environment.ProcessorCount + 1
              let result = Tool.runLine $"train --print-config --threads {count}"
              Expect.equal result.Code 0 "exit code"

              Expect.stringContains
                  result.Err
                  $"--threads {count} exceeds the {Environment.ProcessorCount} processors"
                  "warning"

              Tool.runLine $"train --threads {4 * Environment.ProcessorCount + 1}"
              |> Tool.fails 2 [ "--threads"; "from 1 to 4 times the number of processors" ]
          }

          test "escapes what would act on the terminal" {
              let result = Tool.run [ "train"; "--arch"; "a\027[31m\u202Eb" ]
              result |> Tool.fails 2 [ @"\u001b[31m\u202eb" ]
              let result = Tool.run [ "eval"; "--checkpoint"; "no\u202E\027[2Jfile" ]
              result |> Tool.fails 1 [ @"\u202e\u001b[2Jfile" ]
          } ]

let private reference =
    test "the reference page has every command and every option" {
        let page = Reference.markdown ()

        for command in Commands.all do
            Expect.stringContains page $"## normfree {command.Name}\n" command.Name

            for spec in command.Options do
                Expect.stringContains page $"| `{spec.Name}" spec.Name

        Expect.stringContains page "Old name: `--start`" "old names"
        Expect.equal ((Tool.runLine "reference" |> Tool.succeeds).Out.TrimEnd()) (page.TrimEnd()) "the command"
    }

let tests =
    testList
        "Usage"
        [ HelpTests.tests
          usage
          suggestions
          NarrowTerminalTests.tests
          forms
          RunFileTests.tests
          reference ]
