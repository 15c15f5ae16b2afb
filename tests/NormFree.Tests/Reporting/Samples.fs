/// Made-up runs for the report's tests.
module NormFree.Tests.Reporting.Samples

open NormFree.Training

let accuracy top1 = { Loss = 2.5 - 2.0 * top1; Top1 = top1; Top5 = min 1.0 (top1 + 0.1); Images = 10_000 }

let epoch stage number count top1 =
    { Stage = stage
      Epoch = number
      Epochs = count
      LearningRate = 1e-3 * (1.0 - float (number - 1) / float count)
      Train = accuracy (top1 * 0.95)
      Test = accuracy top1
      HeldOut = None
      Clipped = 0.4 / float number
      ClippedOf = []
      Unreadable = 0
      Health = None
      Seconds = 83.0 + float number }

/// Two stages of this many epochs each, whose accuracy rises to `final`.
let run label epochs final =
    let stage name reach =
        [ for number in 1..epochs ->
              epoch name number epochs (reach * (1.0 - 0.8 * exp (-4.0 * float number / float epochs))) ]

    { Name = $"2026-01-02-{label}"
      Label = label
      Arguments = []
      Configuration =
        [ "network", "reactnet-18"
          "data set", "cifar10"
          "norm", label
          "epochs", string epochs
          "environment.processor", "16 cores" ]
      Epochs = stage "activations" (final - 0.05) @ stage "activations+weights" final
      Finished = true }

/// The same run with another accuracy after its last epoch.
let endingAt top1 images (run: RunLog) =
    let last = List.last run.Epochs
    let ending = { last with Test = { last.Test with Top1 = top1; Images = images } }

    { run with Epochs = List.truncate (run.Epochs.Length - 1) run.Epochs @ [ ending ] }

let three = [ run "bn" 20 0.92; run "bn-free" 20 0.9; run "none" 20 0.7 ]
