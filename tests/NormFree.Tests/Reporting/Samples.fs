/// Sample runs for the report's tests.
module NormFree.Tests.Reporting.Samples

open NormFree.Reporting
open NormFree.Spec
open NormFree.Runs
open NormFree.Networks
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

/// Two stages of `epochs` epochs each. The accuracy rises to `final`.
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

/// Layer names as in ReActNet-18, four per stage of the network.
let layerNames count = [ for i in 0 .. count - 1 -> $"layer{i / 4 + 1}.{i % 4}.binary_conv" ]

/// Sample telemetry: layers at three steps of each epoch, and channels at the end of each epoch.
let telemetry layers (run: RunLog) : Telemetry =
    let wave (i: int) = 0.5 + 0.5 * sin (float i * 2.399)

    let layer stage epoch step index name : LayerSample =
        let age = float epoch + float step / 100.0

        { Stage = stage
          Epoch = epoch
          Step = step
          Layer = name
          MeanSquared = 0.05 + 0.2 * wave index
          Variance = (1.0 + 0.04 * float (index % 4)) * (0.3 + 0.7 * exp (-0.1 * age) + 0.1 * wave (index + step))
          ExpectedVariance = 1.0 + 0.04 * float (index % 4)
          Window = 0.55 + 0.3 * wave (index + 3)
          Positive = 0.5
          PositiveLowest = 0.02
          PositiveHighest = 0.97
          DeadChannels = index % 3
          Channels = 64
          ActivationFlips = 0.25 * exp (-0.2 * age) * (0.6 + 0.4 * wave index)
          WeightFlips = 2e-3 * exp (-0.2 * age) * (0.5 + wave (index + 1))
          Clipped = if stage = "activations" then 0.6 * wave index else 0.2 * wave index
          NormRatio = 10.0 ** (-2.0 + wave index - 0.05 * age)
          GradientNorm = 0.2 + wave (index + 7)
          ShortcutMeanSquared = if index > 0 && index % 4 = 0 then 0.3 + wave index else nan }

    let channels stage epoch index name : ChannelSample list =
        [ for channel in 0..15 ->
              { Stage = stage
                Epoch = epoch
                Layer = name
                Channel = channel
                Positive = 0.5 + 0.48 * sin (float (channel + 1) * 1.7 + float index) } ]

    let names = List.indexed (layerNames layers)

    { Layers =
        [ for epoch in run.Epochs do
              for step in [ 0; 50; 100 ] do
                  for index, name in names do
                      layer epoch.Stage epoch.Epoch step index name ]
      Channels =
        [ for epoch in run.Epochs do
              for index, name in names do
                  yield! channels epoch.Stage epoch.Epoch index name ]
      Transition =
        [ for index, name in names ->
              { Layer = name
                MeanChange = 0.001 + (if index % 4 = 0 then 0.2 * wave index else 0.0)
                MeanSquaredBefore = 0.1
                MeanSquaredAfter = 0.2
                VarianceBefore = 1.0
                VarianceAfter = 0.8
                ShortcutMeanSquared = if index > 0 && index % 4 = 0 then 0.3 + wave index else nan } ] }

/// A PNG of one colour, in base64.
let picture shade =
    NormFree.Data.Encode.png { Width = 8; Height = 8; Pixels = Array.create 192 shade }
    |> System.Convert.ToBase64String

/// Classes of 100 images each. Class i is predicted as class i + 1 for 10 + i images.
let confusion classes : Confusion =
    let pairs =
        [ for i in 0 .. classes - 1 -> { Truth = i; Guess = (i + 1) % classes; Count = 10 + i % 40 } ]
        |> List.sortByDescending _.Count

    { Checkpoint = "0123"
      Stage = "activations+weights"
      Epoch = 3
      Classes = [ for i in 0 .. classes - 1 -> { Name = $"class{i}"; Images = 100; Right = 90 - i % 40 } ]
      Pairs = List.truncate 2000 pairs
      Mistakes =
        [ for pair in List.truncate 8 pairs do
              for i in 0..2 ->
                  { Truth = pair.Truth
                    Guess = pair.Guess
                    Probability = 0.9 - 0.1 * float i
                    Name = $"image{i}.png"
                    Picture = picture (byte (40 * i + 20)) } ] }

/// A run with all parts of a report except latency.
let full log : ReportedRun =
    let net = ReActNet.reactNet18 Size.Full CifarStem |> Net.withClasses 10

    let summary =
        match Summary.create 32 32 (Net.withBinarise ActivationsAndWeights net) with
        | Ok summary -> summary
        | Error errors -> failwith $"%A{errors}"

    { Log = log
      Telemetry = Ok(telemetry 16 log)
      Confusion = Ok(confusion 10)
      Deployment = Ok { Summary = summary; Pixels = 32; PackedBytes = 1_510_000L; Speed = None } }
