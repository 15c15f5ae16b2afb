// What each part of the BN-free network and its recipe is worth, ReActNet-18 on CIFAR-10:  dotnet fsi experiments/ablation.fsx DATA [--epochs 3] …
// DATA: as for norms-cifar10.fsx.
#load "prelude.fsx"

open NormFree.Data
open NormFree.Spec
open NormFree.Runs
open NormFree.Training
open NormFree.Experiments
open Prelude

let data, budget = budget "ablation.fsx" { small with Epochs = 3 }
atRoot ()

let whole = recipe budget
let variant label norm recipe = Variant.twoStages label (cifar18 budget |> Net.withNorm norm) recipe
let fixedStart = { whole with Initialisation = Initialisation.Fixed }
let published change = { whole with Deviations = change whole.Deviations }

[ variant "whole: AGC 0.02, weights only; α 0.2" (BnFree 0.2) whole
  variant "AGC off" (BnFree 0.2) { whole with Clip = NoClipping }
  for factor in [ 0.01; 0.04 ] do
      variant $"AGC {factor}" (BnFree 0.2) { whole with Clip = Agc factor }
  variant "AGC 0.02, all but the classifier" (BnFree 0.2) (published (fun d -> { d with Clipping = Rule.Published }))
  variant "standardisation off" (Scaled 0.2) whole
  for alpha in [ 0.1; 0.4; 1.0 ] do
      variant $"α {alpha}" (BnFree alpha) whole
  // β by a formula matters where it is not measured.
  variant "fixed start" (BnFree 0.2) fixedStart
  variant
      "fixed start, β as published"
      (BnFree 0.2)
      { fixedStart with Deviations = { whole.Deviations with ExpectedVariance = Rule.Published } } ]
|> experiment "ablation" (images Cifar10 data budget) budget
|> sweep
|> conclude
    budget
    { page
          "Ablation on CIFAR-10"
          "What is each part of the BN-free network and of its recipe worth? Each row changes one thing of the first." with
        Compared =
            [ "AGC off", "whole: AGC 0.02, weights only; α 0.2"
              "standardisation off", "whole: AGC 0.02, weights only; α 0.2"
              "fixed start", "whole: AGC 0.02, weights only; α 0.2"
              "fixed start, β as published", "fixed start" ] }
