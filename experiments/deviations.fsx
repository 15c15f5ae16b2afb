// Each departure of the published code, mended alone and all together, ReActNet-18 on CIFAR-10:  dotnet fsi experiments/deviations.fsx DATA …
// DATA: as for norms-cifar10.fsx.
#load "prelude.fsx"

open NormFree.Data
open NormFree.Runs
open NormFree.Training
open NormFree.Experiments
open Prelude

let data, budget = budget "deviations.fsx" { small with Epochs = 5 }
atRoot ()

/// CIFAR's images get no lighting, and binary weights start from stage 1's: these two change nothing here.
let inert = [ "lighting"; "binary initialisation" ]

let ofRecipe label recipe = Variant.twoStages label (cifar18 budget) recipe
let fixedStart = { recipe budget with Initialisation = Initialisation.Fixed }
let variant label deviations = ofRecipe label { fixedStart with Deviations = deviations }

[ variant "published" Deviations.Published
  for deviation in Deviation.all do
      if not (List.contains deviation.Name inert) then
          variant $"{deviation.Name} corrected" (deviation.With Rule.Corrected Deviations.Published)
  ofRecipe "data-dependent start" { recipe budget with Deviations = Deviations.Published }
  ofRecipe "all corrected" (recipe budget)
  for deviation in Deviation.all do
      if List.contains deviation.Name [ "rates"; "balance" ] then
          ofRecipe
              $"all corrected but {deviation.Name}"
              { recipe budget with Deviations = deviation.With Rule.Published Deviations.Corrected }
  variant "all corrected but data-dependent start" Deviations.Corrected ]
|> experiment "deviations" (images Cifar10 data budget) budget
|> sweep
|> conclude
    budget
    { page
          "Deviations on CIFAR-10"
          "What does mending each departure of the published code bring, alone and all together?" with
        Compared = [ "all corrected", "published"; "all corrected", "all corrected but data-dependent start" ]
        Notes =
            [ "FiniteChecks and reasons of the deviations: docs/method.md. A row that names one of them corrects it alone, or all but it." ] }
