// ReActNet-18 without batch norm on real CIFAR-10, both stages:  dotnet fsi experiments/cifar10.fsx DATA
// DATA: what `normfree data get cifar10` fetched, or an archive of train/<class>/*.jpg and test/<class>/*.jpg.
#load "prelude.fsx"

open NormFree.Reporting
open NormFree.Runs
open NormFree.Training
open NormFree.Benchmarks
open Prelude

let data, _ = dataAndSettings "cifar10.fsx" [] ()
atRoot ()

let arguments =
    "--arch reactnet-18 --norm bn-free --binarise activations+weights --stem cifar --dataset cifar10 --limit 10000 --test-limit 2000 \
     --epochs 2 --batch 64 --lr 1e-3 --schedule cosine --clip agc:0.02 --seed 1"

train "runs/cifar10-bn-free" ("--data" :: data :: List.ofArray (arguments.Split ' '))

// Where the data lies on this machine is nobody's business.
let withoutPath (run: RunLog) =
    { run with
        Arguments =
            run.Arguments
            |> List.map (fun word -> if word = data then System.IO.Path.GetFileName data else word) }

ReportedRun.ofFolders (RunDeployment.measuring MeasureSpeed) [ { Path = "runs/cifar10-bn-free" } ]
|> List.map (fun run -> { run with Log = withoutPath run.Log })
|> Report.writeMarkdown "experiments/results/cifar10-reactnet18.md" "ReActNet-18 without batch norm on CIFAR-10"
