// Trains ReActNet-18 on Fashion-MNIST BN-free, with batch norm and without a norm, on the same budget:
//   dotnet fsi experiments/fashion-mnist.fsx DATA [--epochs 10] [--seeds 2] …
// DATA: the folder of the gzipped IDX files. Debian's package dataset-fashion-mnist installs them (dpkg -L lists it).
#load "prelude.fsx"

open NormFree.Data
open NormFree.Experiments

Script.run fsi.CommandLineArgs Budget.cifar (fun script ->
    "Do the three norms rank on another data set as they do on CIFAR-10, with the corrected recipe and an equal budget?"
    |> Script.page script "Three norms on Fashion-MNIST"
    |> Norms.compare script FashionMnist)
