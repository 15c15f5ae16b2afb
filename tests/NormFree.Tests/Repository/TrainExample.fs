module NormFree.Tests.Repository.TrainExample

open NormFree.Data
open NormFree.Spec
open NormFree.Runs
open NormFree.Training

let recipe = { Recipe.corrected with Epochs = 20; Batch = 64; LearningRate = 1e-3; Clip = Agc 0.02 }

let stages norm =
    Pipeline.from (Dataset.cifar10.At "data/cifar-10-binary.tar.gz")
    |> Pipeline.into $"runs/cifar10-{Names.norm norm}" // rerunning the script resumes it
    |> Pipeline.train { recipe with WeightDecay = 1e-5 } (ReActNet.cifar18 |> Net.withNorm norm) // Trained<RealWeights>
    |> Pipeline.binariseWeights recipe // Trained<BinaryWeights>; calling it twice is a type error

let runs () = List.map (stages >> Pipeline.finish) [ BatchNorm; NoNorm; BnFree 0.2 ] // RunLogs: values for Report.text

let deploy () = (stages (BnFree 0.2) |> Pipeline.pack).Save "cifar10.packed.safetensors" // packing real weights is a type error
