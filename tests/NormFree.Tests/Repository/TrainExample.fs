module NormFree.Tests.Repository.TrainExample

open NormFree.Data
open NormFree.Spec
open NormFree.Training

let recipe = { Recipe.corrected with Epochs = 20; Batch = 64; LearningRate = 1e-3; Clip = Agc 0.02 }

let train norm =
    Pipeline.from (Dataset.cifar10.At "data/cifar-10-binary.tar.gz")
    |> Pipeline.into $"runs/cifar10-{Words.norm norm}" // runs again: goes on where it was
    |> Pipeline.train { recipe with WeightDecay = 1e-5 } (ReActNet.cifar18 |> Net.withNorm norm) // Trained<RealWeights>
    |> Pipeline.binariseWeights recipe // Trained<BinaryWeights>; twice would not compile
    |> Pipeline.finish // a RunLog: values for Report.write

let runs () = List.map train [ BatchNorm; NoNorm; BnFree 0.2 ]
