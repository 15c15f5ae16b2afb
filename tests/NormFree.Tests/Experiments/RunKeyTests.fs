module NormFree.Tests.Experiments.RunKeyTests

open System.IO
open Expecto
open NormFree.Data
open NormFree.Spec
open NormFree.Runs
open NormFree.Networks
open NormFree.Training
open NormFree.Experiments
open NormFree.Tests.Data.Support
open NormFree.Tests.Training.Support

/// Images that do not depend on the synthetic data set's drawing code.
let private grey count : ImageSource =
    ImageSource.ofImages "grey" [| for i in 0 .. count - 1 -> Image.blank 32 32, i % 10 |]

let private images: Dataset =
    { Name = "grey"
      Classes = Array.init 10 string
      Train = grey 20
      Test = grey 10
      Normalisation = Normalisation.cifar10
      Size = 32
      Augmentation = Augmentation.cifar
      Notes = [] }

let private variant = Variant.twoStages "tiny" (tiny (BnFree 0.2)) quick

let private keyOn device images execution variant = RunKey.forImages images execution device variant
let private keyOf = keyOn Cpu
let private key = keyOf images Execution.Default variant

let private ofFirst change = keyOf images Execution.Default { variant with Stage1 = change variant.Stage1 }
let private ofSecond change = keyOf images Execution.Default { variant with Stage2 = Option.map change variant.Stage2 }
let private ofNet change = keyOf images Execution.Default { variant with Net = change variant.Net }
let private ofImages change = keyOf (change images) Execution.Default variant

/// Everything that determines the result, each changed alone.
let private changes =
    [ "epochs", ofFirst (fun r -> { r with Epochs = 3 })
      "batch", ofFirst (fun r -> { r with Batch = 21 })
      "optimiser", ofFirst (fun r -> { r with Optimiser = AdamW })
      "learning rate", ofFirst (fun r -> { r with LearningRate = 0.5 })
      "weight decay", ofFirst (fun r -> { r with WeightDecay = 0.5 })
      "schedule", ofFirst (fun r -> { r with Schedule = Constant })
      "warm-up", ofFirst (fun r -> { r with WarmUp = 1.0 })
      "loss", ofFirst (fun r -> { r with Loss = LabelSmoothing 0.1 })
      "clipping", ofFirst (fun r -> { r with Clip = NoClipping })
      "initialisation", ofFirst (fun r -> { r with Initialisation = Initialisation.Fixed })
      "remeasure", ofFirst (fun r -> { r with Remeasure = Some true })
      "weight average", ofFirst (fun r -> { r with WeightAverage = Some 0.99 })
      "held out", ofFirst (fun r -> { r with HeldOut = 0.1 })
      "seed", ofFirst (fun r -> { r with Seed = 2L })
      for deviation in Deviation.all do
          let published (r: Recipe) = { r with Deviations = deviation.With Rule.Published r.Deviations }
          // Shortcuts become binary in stage 2.
          deviation.Name, (if deviation.Number = 16 then ofSecond published else ofFirst published)
      "width", ofNet (fun _ -> ReActNet.small |> Net.withClasses 10)
      "norm", ofNet (Net.withNorm NoNorm)
      "α", ofNet (Net.withNorm (BnFree 0.3))
      "standardisation", ofNet (Net.withNorm (Scaled 0.2))
      "real shortcuts", ofNet (Net.withShortcutWeights WeightBinariser.Real)
      "training images", ofImages (fun d -> { d with Train = grey 21 })
      "test images", ofImages (fun d -> { d with Test = grey 11 })
      "normalisation", ofImages (fun d -> { d with Normalisation = Normalisation.imageNet })
      "size", ofImages (fun d -> { d with Size = 64 })
      "augmentation", ofImages (fun d -> { d with Augmentation = Augmentation.none })
      "engine", keyOf images Execution.Portable variant
      "device", keyOn Cuda images Execution.Default variant
      "precision", keyOf images { Execution.Default with Precision = Precision.BFloat16 } variant
      "stage 2", keyOf images Execution.Default { variant with Stage2 = None }
      "stage 2's recipe", keyOf images Execution.Default { variant with Stage2 = Some { quick with Epochs = 3 } } ]

/// Saves a checkpoint trained with this seed.
let private teacher path seed =
    Pipeline.from (Synthetic.dataset 3L 20 10)
    |> Pipeline.train { quick with Epochs = 1; Seed = seed } (tiny NoNorm)
    |> Pipeline.save path
    |> useTrained ignore

let tests =
    testList
        "run keys"
        [ test "keys equal those of earlier versions; otherwise finished runs would be trained again" {
              let earlier (r: Recipe) =
                  { r with
                      Deviations =
                          { r.Deviations with ShortcutWeights = Rule.Published; StreamCentering = Rule.Published } }

              let ofEarlier net =
                  keyOf
                      images
                      Execution.Default
                      { variant with
                          Net = net variant.Net
                          Stage1 = earlier variant.Stage1
                          Stage2 = Option.map earlier variant.Stage2 }

              Expect.equal (ofEarlier id) "9b46be86bab1a36d" "bn-free: of method 3"
              Expect.equal (ofEarlier (Net.withNorm (Scaled 0.2))) "100a2612288c2dec" "scaled: of method 2"
              Expect.equal (ofNet (Net.withNorm BatchNorm)) "dff583f6cfae645c" "batch norm: of method 2"
          }

          test "everything that determines the result changes the key" {
              let keys = ("nothing", key) :: changes

              let same =
                  keys
                  |> List.groupBy snd
                  |> List.map (snd >> List.map fst)
                  |> List.filter (fun names -> names.Length > 1)

              Expect.isEmpty same "changes that have the same key"
          }

          test "a label does not change the key" {
              Expect.equal (keyOf images Execution.Default { variant with Label = "other" }) key "key"
          }

          test "settings that the recipe applies to the network need not be set in the network" {
              let corrected = ofNet (fun net -> Recipe.applyTo net quick |> Net.withBinarise ActivationsAndWeights)
              Expect.equal corrected key "key"
          }

          test "a teacher is identified by its content, not by its path" {
              use folder = new TempFolder()
              let one, moved, other = folder.File "one", folder.File "moved", folder.File "other"
              teacher one 1L
              File.Copy(one, moved)
              teacher other 2L
              let taught path = ofFirst (fun r -> { r with Loss = Distillation path })
              Expect.equal (taught moved) (taught one) "the same file elsewhere"
              Expect.notEqual (taught other) (taught one) "another teacher"
          } ]
