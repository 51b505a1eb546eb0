# What lmerTest finds for balanced crossed data: Rscript tests/cases/crossed.R > tests/cases/crossed.json
# Data of several shapes, Gaussian and of 0 and 1; only such where no variance component is zero are printed.
suppressMessages({library(lmerTest); library(jsonlite)})
RNGkind("Mersenne-Twister", "Inversion", "Rejection")
set.seed(15)
control <- lmerControl(optimizer = "bobyqa", optCtrl = list(rhobeg = 1e-3, rhoend = 1e-11, maxfun = 1e5))

case <- function(seeds, problems, seed_sd, problem_sd, binary) {
  grid <- expand.grid(seed = factor(1:seeds), problem = factor(1:problems))
  latent <- 0.3 + rnorm(seeds, sd = seed_sd)[grid$seed] + rnorm(problems, sd = problem_sd)[grid$problem]
  noisy <- latent + rnorm(nrow(grid))
  grid$value <- if (binary) as.numeric(noisy > 0) else round(noisy, 3)
  fit <- lmer(value ~ 1 + (1 | seed) + (1 | problem), grid, control = control)
  found <- summary(fit)$coefficients
  list(
    values = matrix(grid$value, seeds), singular = isSingular(fit), estimate = found[1, "Estimate"],
    error = found[1, "Std. Error"], df = found[1, "df"], p = found[1, "Pr(>|t|)"],
    seed_sd = attr(VarCorr(fit)$seed, "stddev"), problem_sd = attr(VarCorr(fit)$problem, "stddev"),
    rest_sd = sigma(fit)
  )
}

cases <- list(
  case(3, 40, 0.5, 0.5, FALSE), case(5, 24, 0.5, 1, FALSE), case(8, 12, 1, 0.5, FALSE),
  case(12, 30, 0.3, 0.3, FALSE), case(3, 100, 0.7, 1, TRUE), case(5, 64, 0.5, 0.5, TRUE),
  case(10, 48, 0.3, 1, TRUE), case(2, 20, 1, 1, FALSE)
)
kept <- Filter(function(found) !found$singular, cases)
about <- paste(R.version.string, "lmerTest", packageVersion("lmerTest"), "lme4", packageVersion("lme4"))
cat(toJSON(list(made_with = about, cases = kept), auto_unbox = TRUE, digits = 12, pretty = FALSE), "\n")
