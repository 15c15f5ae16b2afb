// ReActNet-18 without batch norm on real CIFAR-10, both stages:  dotnet fsi experiments/cifar10.fsx DATA
// DATA: what `normfree data get cifar10` fetched, or an archive of train/<class>/*.jpg and test/<class>/*.jpg.
#load "prelude.fsx"

open NormFree.Reporting
open NormFree.Training

let data = fsi.CommandLineArgs[1]

let arguments =
    "--arch reactnet-18 --norm bn-free --binarise activations+weights --stem cifar --dataset cifar10 --limit 10000 --test-limit 2000 \
     --epochs 3 --batch 64 --lr 1e-3 --schedule cosine --clip agc:0.02 --seed 1 --threads 1"

Prelude.normfree $"train {arguments} --data {data} --out runs/cifar10-bn-free"

[ RunFolder.readRun (RunFolder.at "runs/cifar10-bn-free") ]
|> Report.writeMarkdown "experiments/results/cifar10-reactnet18.md" "ReActNet-18 without batch norm on CIFAR-10"
